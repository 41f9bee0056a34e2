"""What methods that sample from the policy while it learns have in common: the reward."""
