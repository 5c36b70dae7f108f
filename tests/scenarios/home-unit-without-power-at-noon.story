A home unit loses its power at noon, when nobody must be at home.

Ready 11:00

Orders
  tag D1 on W1 from 11:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00
  home unit U1 of W1 stands at C1 from 11:00

Course
  12:00 D1 HMU_POWER_LOST of U1
  12:30 D1 HMU_POWER_RESTORED of U1

Findings at 12:40
  W1 HMU HMU_POWER_LOST on C1 from 12:00 to 12:30

Alerts
  W1 HMU on C1 AL04 warning, raised 12:00
