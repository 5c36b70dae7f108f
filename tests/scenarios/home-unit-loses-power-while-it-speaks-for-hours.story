A home unit that speaks for four hours loses its power.
A quarter of an hour later it speaks for nobody.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s, telling RF
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00
  home unit U1 of W1 stands at C1 from 18:00, speaks 14400 s

Course
  18:50 D1 RF_IN of U1
  19:30 D1 HMU_POWER_LOST of U1
  20:15 D1 HMU_POWER_RESTORED of U1
  20:20 D1 RF_IN of U1

Findings at 20:30
  W1 HMU HMU_POWER_LOST on C1 from 19:30 to 20:15
  W1 UNVERIFIED on C1 from 19:45 to 20:20, known 20:15
