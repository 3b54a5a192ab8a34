larderfs --version | sed 's/[0-9][0-9.]*$/N/'
larderfs -V | sed 's/[0-9][0-9.]*$/N/'
