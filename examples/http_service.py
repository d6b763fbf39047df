"""Run a service in the loop: start http_server.py, check it, and compare it with popularity."""

import subprocess
import sys
from pathlib import Path

import echodrift as ed


def main():
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("http_server.py")), "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]
        print("checks passed:", ", ".join(ed.check_policy("http", url=url)))
        result = ed.run(
            "default",
            rounds=10,
            seeds=2,
            set={
                "world.users": 200,
                "world.items": 300,
                "arms": [
                    {"name": "popularity", "policy": {"kind": "popularity"}},
                    {"name": "service", "policy": {"kind": "http", "url": url}},
                ],
                "reference": "popularity",
            },
        )
        print(result.compare("niche_exposure", "welfare").to_string())
        print("failed runs:", len(result.failed))
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
