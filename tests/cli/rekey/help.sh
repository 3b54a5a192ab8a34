larder rekey --help
