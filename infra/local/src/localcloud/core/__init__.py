"""What every emulated service is built on: time, errors, faults and the forms of JSON values."""
