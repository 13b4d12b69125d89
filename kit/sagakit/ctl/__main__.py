"""`python -m sagakit.ctl`: the same as `sagactl`."""

from sagakit.ctl.main import main

if __name__ == "__main__":
    main(prog_name="sagactl")
