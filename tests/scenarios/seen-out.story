Somebody is seen out, and no departure was seen.
Where the person was before is not known: that is said, not guessed.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00

Course
  19:20 D1 at street
  19:25 D1 at street

Findings at 19:30
  W1 CURFEW SEEN_OUT on C1 from 19:20, lasting, known 19:25

Alerts
  W1 CURFEW on C1 serious, raised 19:25
