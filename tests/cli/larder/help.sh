larder --help
