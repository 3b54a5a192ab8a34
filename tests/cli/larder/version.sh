larder --version | sed 's/[0-9][0-9.]*$/N/'
larder -V | sed 's/[0-9][0-9.]*$/N/'
