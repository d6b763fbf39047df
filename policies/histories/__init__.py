"""Methods that know a user only by the present history."""
