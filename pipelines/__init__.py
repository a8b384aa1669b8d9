"""One short module per stage of `dvc.yaml`: read rows, call one function of `factory` or `trainers`, write rows."""
