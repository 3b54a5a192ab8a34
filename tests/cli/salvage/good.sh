/usr/bin/python3 - <<P
import sys; sys.path.insert(0, "$TESTS"); import mkbad
mkbad.small("db-encrypted").write("good"); mkbad.small("mbdb-plain").write("old")
P
larder salvage --passfile "$PASS" good; echo $?
larder salvage old; echo $?
larder salvage --json old; echo $?
