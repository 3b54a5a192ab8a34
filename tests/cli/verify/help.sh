larder verify --help
