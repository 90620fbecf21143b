"""docs/scale.md, Backup: its commands run as they stand, and it says of every secret what its loss costs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.guides import blocks, secret_settings
from tests.support.postgres import JWT_SECRET
from tests.support.processes import ROOT, environment

FILE = Path("storage/travellers/33333333-3333-4333-8333-333333333333/visa.txt")
ITINERARY = "11111111-1111-4111-8111-111111111111"
NUMBER = "select fin.next_number('INV', '2026-11-30')"
PAGE = (ROOT / "docs" / "scale.md").read_text()
SECTION = PAGE.partition("## Backup\n")[2].partition("\n## ")[0]


@pytest.mark.heavy
def test_a_backup_and_its_restore_are_what_the_page_says(tmp_path: Path) -> None:
    def shell(folder: str, script: str) -> str:
        env = environment(DATA_DIR=str(tmp_path / folder), JWT_SECRET=JWT_SECRET)
        env["PATH"] = f"{Path(sys.prefix) / 'bin'}:{env['PATH']}"
        command = ["/bin/bash", "-euo", "pipefail", "-c", script]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    saving, restoring, telling, numbering = blocks("docs/scale.md", "sh", "## Backup\n")
    kept = tmp_path / "old" / FILE
    (tmp_path / "old").mkdir(0o700)
    kept.parent.mkdir(parents=True)
    kept.write_text("a visa")
    shell("old", "ecotrips db seed --demo")
    shell("old", saving)
    (tmp_path / "new").mkdir(0o700)
    (tmp_path / "new" / "switches.env").write_bytes((tmp_path / "old" / "switches.env").read_bytes())
    said = shell("new", restoring)
    assert "restored: ecotrips.dump\nup to date\n" in said
    assert (tmp_path / "new" / FILE).read_text() == "a visa"
    assert "PAYOUTS_PAUSED=1" in shell("new", "ecotrips flags list")
    shell("new", telling.replace("<itinerary>", ITINERARY).replace("<pi>", "pi_1"))
    told = "select status, intent_id from payment.payments where idempotency_key = 'restored-pi_1'"
    assert shell("new", f'ecotrips psql -Atc "{told}"') == "processing|pi_1\n"
    shell("new", numbering)
    assert shell("new", f'ecotrips db psql -qAtc "{NUMBER}"') == "INV-20261130-0043\n"
    [queued] = re.findall(r"`(select id, type, created_at from wa.messages[^`]*)`", SECTION)
    assert "(0 rows)" in shell("new", f'ecotrips psql -c "{queued}"')


def test_every_secret_is_in_the_table_of_what_its_loss_costs() -> None:
    table = SECTION.partition("| secret that is lost |")[2].partition("\n\n")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    assert sorted(name for row in rows for name in re.findall(r"`(\w+)`", row)) == sorted(secret_settings())
