"""The entry point: the commands of every project, and the shop's."""

from sagakit.ctl.main import command_line

main = command_line("sagactl.project:PROJECT")

if __name__ == "__main__":
    main(prog_name="sagactl")
