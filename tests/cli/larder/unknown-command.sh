larder frobnicate now
