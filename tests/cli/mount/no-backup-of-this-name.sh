larder mount nobody
