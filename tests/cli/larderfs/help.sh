larderfs --help; larderfs -h | cmp - /dev/null | cut -c1-3
