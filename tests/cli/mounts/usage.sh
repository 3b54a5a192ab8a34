larder mounts x
