"""Reports on what was sold."""

import random
import time

from core4.queue.job import CoreJob


class DailySales(CoreJob):
    """Sums up yesterday's sales, shop by shop."""

    author = "Ada"
    schedule = "0 6 * * *"
    tag = ("sales", "report")
    attempts = 3
    error_time = 60
    progress_interval = 1

    def execute(self, shops: int = 5, pause: float = 0.1) -> None:
        """Sum up so many shops, with a pause after each, for there is no real work to do."""
        dice = random.Random(self.identifier)  # noqa: S311 - sales, not secrets
        total = 0
        for shop in range(1, shops + 1):
            sales = dice.randint(0, 1000)
            total += sales
            self.logger.info("shop %d sold for %d", shop, sales)
            self.progress(shop / shops, "shop %d of %d", shop, shops)
            time.sleep(pause)
        self.logger.info("%d shops sold for %d", shops, total)
        self.logger.info("this was report no. %d", self.cookie.inc("reports"))
