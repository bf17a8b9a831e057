"""Takes in what others send."""

from pathlib import Path

from core4.queue.job import CoreJob


class ImportOrders(CoreJob):
    """Imports a file of orders, as soon as there is one."""

    author = "Ada"
    tag = ("orders",)
    defer_time = 5
    defer_max = 600

    def execute(self, path: str = "/data/orders.csv") -> None:
        """Import the file: a line for each order, the first one names the columns."""
        file = Path(path)
        if not file.exists():
            self.defer("no file [%s] yet", path)
        self.set_source(path)
        _, *orders = file.read_text(encoding="utf-8").splitlines()
        for order in orders:
            self.logger.debug("order %s", order)
        self.logger.info("imported [%d] orders", len(orders))
