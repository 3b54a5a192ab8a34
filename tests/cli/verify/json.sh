/usr/bin/python3 "$TESTS/damage.py" db-plain payloads_swapped b > /dev/null
larder verify --content --json b |
	sed '/odd.sqlite/d; s/"databases[a-z_]*":[0-9]*,//g; s/"notes":[0-9]*/"notes":N/; s/"seconds":[0-9.e-]*/"seconds":S/'
