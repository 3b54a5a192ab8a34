/usr/bin/python3 -c '
import sys
sys.path.insert(0, sys.argv[1])
import damage
damage.good("db-encrypted", "good")' "$TESTS"
for level in structure stored content; do
	larder verify --$level --passfile "$PASS" good
done |
	# which of the databases SQLite can judge is up to its version
	sed "s/, [0-9]* database[^:(]*//; /SQLite cannot judge/d"
larder verify --content --sample 10 --quiet --passfile "$PASS" good
