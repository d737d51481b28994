"""What the sections of a study file may say, one file each: models that read them and know nothing of a study."""
