import Evaluation
import Reporting
import Testing

@Suite struct NumberFormatTests {
  @Test(arguments: [
    (0, "0 B"), (512, "512 B"), (999, "999 B"), (1000, "1.00 kB"), (4_749_888, "4.75 MB"),
    (999_499, "999 kB"),
    (999_500, "1.00 MB"), (14_000_000_000, "14.0 GB"), (123_456_789, "123 MB"),
    (5_000_000_000_000_000, "5000 TB"),
  ])
  func bytes(count: Int, text: String) { #expect(NumberFormat.bytes(count) == text) }

  @Test(arguments: [
    (0.003106, 0.000018, "0.003106 ± 0.000018"), (0.00311, 0.00002, "0.00311 ± 0.00002"),
    (60.1234, 0.42, "60.1 ± 0.4"), (4.53, 0.0123, "4.530 ± 0.012"), (1234.5, 23, "1234 ± 23"),
    (0.5, 0.0996, "0.50 ± 0.10"), (-0.0007, 0.0003, "-0.0007 ± 0.0003"),
  ])
  func estimates(value: Double, error: Double, text: String) {
    #expect(NumberFormat.estimate(Estimate(value, standardError: error)) == text)
  }

  @Test func estimatesWithoutError() {
    #expect(NumberFormat.estimate(Estimate(60.1234, standardError: nil)) == "60.12")
    #expect(NumberFormat.estimate(Estimate(0, standardError: 0)) == "0 ± 0")
    #expect(NumberFormat.estimate(Estimate(1, standardError: 0), scale: 100) == "100.0 ± 0")
    #expect(NumberFormat.signedEstimate(Estimate(0.0021, standardError: 0.0004)) == "+0.0021 ± 0.0004")
    #expect(NumberFormat.signedEstimate(Estimate(-0.5, standardError: nil)) == "-0.5000")
  }

  @Test(arguments: [
    (0.00311, 3, "0.00311"), (1.2e-7, 2, "1.2e-07"), (0, 3, "0"), (123.456, 4, "123.5"), (1000, 3, "1000"),
    (0.001, 2, "0.0010"), (-2.5, 2, "-2.5"),
  ])
  func significant(value: Double, digits: Int, text: String) {
    #expect(NumberFormat.significant(value, digits) == text)
  }

  @Test(arguments: [
    (0.0000123, "12.3 µs"), (0.0123, "12.3 ms"), (1.24, "1.24 s"), (250, "250 s"), (0, "0 µs"),
  ])
  func seconds(value: Double, text: String) { #expect(NumberFormat.seconds(value) == text) }

  @Test func groupsAndRates() {
    #expect(NumberFormat.grouped(7_913_024) == "7,913,024")
    #expect(NumberFormat.grouped(-1000) == "-1,000" && NumberFormat.grouped(999) == "999")
    #expect(NumberFormat.rate(909.09) == "909" && NumberFormat.rate(45.123) == "45.1")
  }
}
