"""One small working technique per hook, the module's name; `coregpt plugins new` copies it under another name."""
