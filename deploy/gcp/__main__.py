"""Print, or with --execute run, the setup or teardown of a Google Cloud project: `python -m deploy.gcp`.

`python -m deploy.gcp preflight` checks what a deployment needs, and changes nothing.
"""

import os
import subprocess
import sys
from collections.abc import Sequence

import click

from deploy.gcp import preflight
from deploy.gcp.plan import NAME, Where, setup
from deploy.gcp.steps import NUMBER, Argv, Step, gcloud, quoted
from deploy.gcp.teardown import teardown


@click.command()
@click.argument("action", type=click.Choice(["setup", "teardown", "preflight"]))
@click.option("--project", required=True, envvar="PROJECT_ID", help="The project's id.")
@click.option("--region", required=True, envvar="REGION", help="Region of database, images and cluster.")
@click.option("--network", default="default", show_default=True, help="The cluster's network.")
@click.option("--subnet", default="default", show_default=True, help="The cluster's subnet.")
@click.option("--domain", default="", envvar="DOMAIN", help="The gateway's public name, for a certificate.")
@click.option(
    "--ephemeral-project",
    default="",
    envvar="EPHEMERAL_PROJECT_ID",
    help="Existing project of the gateways' ephemeral subscriptions (default: PROJECT-ephemeral).",
)
@click.option(
    "--database",
    default=NAME,
    envvar="DATASTORE_DATABASE",
    show_default=True,
    help="The database that the services use; name the new one after a restore.",
)
@click.option("--with-data", is_flag=True, help="With teardown: delete the database, too.")
@click.option("--tag", default="dev", envvar="TAG", show_default=True, help="Of the images, for preflight.")
@click.option("--execute", is_flag=True, envvar="EXECUTE", help="Run the commands (default: print them).")
def main(
    action: str,
    project: str,
    region: str,
    network: str,
    subnet: str,
    domain: str,
    ephemeral_project: str,
    database: str,
    with_data: bool,
    tag: str,
    execute: bool,
) -> None:
    """Create the resources that the suite needs in a project, or remove them. Idempotent."""
    where = Where(project, region, network, subnet, domain, ephemeral_project, database)
    if action == "preflight":
        found = preflight.before_deploy(where, tag, preflight.call, preflight.resolved)
        sys.exit(preflight.report(found, "the deployment"))
    if action == "setup" and execute:
        found = preflight.before_project(where, preflight.call)
        if why := preflight.report(found, "the setup"):
            sys.exit(why)
    steps = list(setup(where) if action == "setup" else teardown(where, with_data=with_data))
    look_up = gcloud("projects", "describe", project, "--format=value(projectNumber)")
    if not execute:
        click.echo(as_script(project, look_up, steps))
        return
    number = _output(look_up)
    for step in steps:
        done = _do(step, project, number)
        click.echo(f"{step.title}: {done}")


def as_script(project: str, look_up: Argv, steps: Sequence[Step]) -> str:
    """Return a shell script that does the same."""
    head = ["set -eu", f"export CLOUDSDK_CORE_PROJECT={project}", f"PROJECT_NUMBER=$({quoted(look_up)})"]
    return "\n".join([*head, *(f"# {step.title}\n{step.as_shell()}" for step in steps)])


def _do(step: Step, project: str, number: str) -> str:
    run, done = step.run, "done"
    if step.check is not None:
        exists = _call(step.check, project, number).returncode == 0
        if exists and not step.if_exists:
            if step.update is None:
                return "exists"
            run, done = step.update, "updated"
        elif not exists and step.if_exists:
            return "does not exist"
    called = _call(run, project, number)
    if called.returncode:
        sys.exit(f"{step.title}: {quoted(run)}\n{called.stderr}")
    return done


def _output(argv: Argv) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout.strip()


def _call(argv: Argv, project: str, number: str) -> "subprocess.CompletedProcess[str]":
    words = [word.replace(NUMBER, number) for word in argv]
    environ = {**os.environ, "CLOUDSDK_CORE_PROJECT": project}
    return subprocess.run(words, env=environ, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    main(prog_name="deploy.gcp")
