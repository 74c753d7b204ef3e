-- Moves money between two accounts: at no moment does the sum of all balances differ.
\set nonce random(1, 4611686018427387903)
\set a random(1, :accounts)
\set b 1 + (:a + random(0, :accounts + (-2))) % :accounts
\set cents random(1, 5000)
BEGIN;
INSERT INTO simshop_oltp.ledger (client_id, nonce, kind) VALUES (:client_id, concat_ws('-', (:run_id)::text, (:client_id)::text, (:nonce)::text), 'transfer');
SELECT account_id FROM simshop_oltp.accounts WHERE account_id IN (:a, :b) ORDER BY account_id FOR NO KEY UPDATE;
UPDATE simshop_oltp.accounts SET balance = balance + (-(:cents / 100.0)), moves = moves + 1 WHERE account_id = :a;
UPDATE simshop_oltp.accounts SET balance = balance + (:cents / 100.0), moves = moves + 1 WHERE account_id = :b;
END;
