make() {
	/usr/bin/python3 "$TESTS/damage.py" "$1" "$2" "$2" > /dev/null
	larder verify --content --passfile "$PASS" "$2" | head -1 |
		sed "s/\(SQLite database\): .*/\1/"
	larder verify --content --quiet --passfile "$PASS" "$2" > /dev/null
	echo $?
}
make db-encrypted payload_missing
make db-plain payload_cut_at_a_block
make db-encrypted payloads_swapped
make db-encrypted key_of_another_file
make db-encrypted key_garbled
make db-encrypted bit_in_the_last_block
make db-encrypted bit_in_a_payload_with_digest
make db-encrypted bit_in_a_database_page
make db-plain payload_in_no_record
make db-plain record_twice
make db-plain snapshot_left
make mbdb-plain mbdb_cut
