A home unit said out at half past six, and nothing since: the curfew begins with somebody out.
Its sighting still holds at the start, so nobody need have seen him in the last two minutes.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s, telling RF
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00
  home unit U1 of W1 stands at C1 from 18:00, speaks 14400 s

Course
  18:30 D1 RF_OUT of U1
  19:00 clock

Findings at 19:30
  W1 CURFEW OUT_AT_START on C1 from 19:00, lasting, shown by 19:00

Alerts
  W1 CURFEW on C1 AL08 serious, raised 19:00
