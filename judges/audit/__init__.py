"""What is wrong with preference data, found before training on it: biases, noise, copies, leaks."""
