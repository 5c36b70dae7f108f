-- Facts that came late and are stored, and that cost too much to be judged in the turn that stored them: they are judged beside the
-- turns. A program that ends meanwhile begins with them.
CREATE TABLE late_judgements (
    activation_no bigint PRIMARY KEY REFERENCES activations,
    late_at timestamptz                     -- own time of the earliest of them; null: the activation is judged from its start
);
