import Compression
import Testing

@Suite("Time left") struct TimeLeftTests {
  /// What is said after each report of a step, a fraction and a second.
  private func said(_ reports: [(step: String, fraction: Double, second: Double)]) -> [Double?] {
    let begin = ContinuousClock.now
    var left = TimeLeft()
    return reports.map { report in
      left.seconds(of: report.step, fraction: report.fraction, now: begin + .seconds(report.second))
        .map { ($0 * 1000).rounded() / 1000 }
    }
  }

  @Test("it goes by what was done since a step was first heard of, and parts of a step are one step")
  func steady() {
    #expect(
      said([
        ("train", 0, 0), ("train", 0.01, 1), ("train", 0.25, 30), ("train", 0.75, 90),
        ("calibrate: observe", 0, 100), ("calibrate: round", 0.5, 110),
      ]) == [nil, nil, 90, 30, nil, 10])
  }

  @Test("what was done before is no speed, and a step that begins again is told anew")
  func resumed() {
    #expect(
      said([
        ("train", 0.6, 0), ("train", 0.7, 10), ("train", 0.1, 20), ("train", 0.2, 21), ("train", .nan, 22),
      ]) == [nil, 30, nil, 8, nil])
    let now = ContinuousClock.now
    var left = TimeLeft()
    _ = left.seconds(of: "pack", fraction: 0, now: now)
    left.reset()
    #expect(left.seconds(of: "pack", fraction: 0.5, now: now + .seconds(9)) == nil)
  }
}
