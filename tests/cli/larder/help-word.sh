larder help
