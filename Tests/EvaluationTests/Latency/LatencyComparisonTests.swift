import Evaluation
import Models
import TensorCore
import Testing

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Models in turns, on a clock of the test's own.
@Suite("Latency in turns")
struct LatencyComparisonTests {
  /// A clock that moves when a model says so.
  private final class Time: Sendable {
    let now = Locked(0.0)
    func pass(_ seconds: Double) { now.withLock { $0 += seconds } }
  }

  @Test("the ratio is that of the models, whatever the machine does meanwhile")
  func drift() {
    let time = Time()
    let calls = Locked([Character]())
    func model(_ name: Character, _ seconds: Double) -> FakeLanguageModel {
      FakeLanguageModel(onForward: { tokens in
        calls.withLock { $0.append(name) }
        // The machine gets slower all the time.
        let now = time.now.withLock { $0 }
        time.pass(seconds * Double(tokens) * (1 + now / 100))
      })
    }
    var latency = Latency()
    latency.clock = Stopwatch { time.now.withLock { $0 } }
    latency.runs = 10
    latency.decodeLength = 4
    latency.promptLength = 8
    let comparison = latency.compare(model("a", 0.003), model("b", 0.002))
    for speedup in [comparison.prefill, comparison.decode].compactMap(\.self) {
      #expect(abs(speedup.ratio - 1.5) < 0.02, "\(speedup.ratio)")
      #expect(speedup.rounds == 10 && speedup.verdict == .better)
      #expect(speedup.interval.map { $0.low < speedup.ratio && speedup.ratio < $0.high } == true)
    }
    // In turns: of each round, first and second alternate.
    let order = calls.withLock { String($0) }
    #expect(order.hasPrefix("ab") && !order.contains("aaaaaaaaaaaa"))
    #expect(comparison.first.decode?.runs == 10)
  }

  @Test("equal models are a tie, slower ones are told")
  func verdicts() {
    #expect(LatencyComparison.Speedup(logarithms: [0.1, -0.1, 0.05, -0.05]).verdict == .tie)
    #expect(LatencyComparison.Speedup(logarithms: [-0.5, -0.51, -0.49]).verdict == .worse)
    let single = LatencyComparison.Speedup(logarithms: [log(2)])
    #expect(single.verdict == .unknown && abs(single.ratio - 2) < 1e-12)
  }

  @Test("a model that leaves zeros out is compared with itself with whole rows")
  func wholeRows() throws {
    let time = Time()
    func model(_ seconds: Double, whole: (any LanguageModel)? = nil) -> FakeLanguageModel {
      FakeLanguageModel(onForward: { time.pass(seconds * Double($0)) }, whole: whole)
    }
    var latency = Latency()
    latency.clock = Stopwatch { time.now.withLock { $0 } }
    latency.runs = 4
    #expect(latency.zerosLeftOut(of: model(0.002)) == nil)
    let found = try #require(latency.zerosLeftOut(of: model(0.002, whole: model(0.003))))
    #expect(abs(found.prefillSpeedup.ratio - 1.5) < 1e-9 && found.prefillSpeedup.rounds == 4)
    #expect(abs((found.decodeSpeedup?.ratio ?? 0) - 1.5) < 1e-9)
    #expect(abs((found.decode?.median ?? 0) - 0.003) < 1e-12)
  }

  @Test("encoders have one ratio")
  func encoders() {
    var latency = Latency()
    latency.runs = 2
    let comparison = latency.compare(FakeEncoder(), FakeEncoder(), sequences: [[1, 2, 3]])
    #expect(comparison.decode == nil && comparison.prefill.rounds == 2)
  }
}
