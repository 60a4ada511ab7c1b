"""What is attacked: a task turns an attack, a threat and sample ids into measured results."""
