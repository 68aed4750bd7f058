"""Readers who borrow books and look at what is lent."""

from locust import HttpUser, between, task

from sevdrill.load import ledger

loans = ledger("loans")


class Reader(HttpUser):
    wait_time = between(0.1, 0.3)

    @task(2)
    def borrow(self):
        key = loans.new_key()
        loans.attempted(key)
        with self.client.post("/loans", data=key, timeout=(3, 3), catch_response=True) as response:
            if response.status_code == 201:
                loans.acknowledged(key)
                response.success()
            else:
                response.failure(f"status {response.status_code}")

    @task(1)
    def look(self):
        self.client.get("/loans", timeout=(3, 3))
