"""The built-in techniques, one file each. A third party's package looks exactly like this one."""
