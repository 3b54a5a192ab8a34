/usr/bin/python3 "$TESTS/mkbackup.py" db-encrypted other --seed 5 --big 20
larder key --passfile "$PASS" other my.key
larder info --keyfile my.key "$GOLDEN/db-encrypted/backup"
