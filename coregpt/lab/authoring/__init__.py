"""What an author of plugins gets: a first draft for every hook, a small study, the reference of the api."""
