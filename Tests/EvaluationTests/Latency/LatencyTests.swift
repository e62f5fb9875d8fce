import Evaluation
import Models
import TensorCore
import Testing

@Suite struct LatencyTests {
  /// Time that passes only when a model runs: `step` seconds a token.
  final class FakeTime: Sendable {
    private let seconds = Locked(100.0)
    var stopwatch: Stopwatch { Stopwatch { self.seconds.withLock { $0 } } }
    func pass(_ time: Double) { seconds.withLock { $0 += time } }
  }

  static func latency(_ time: FakeTime) -> Latency {
    var latency = Latency()
    latency.clock = time.stopwatch
    return latency
  }

  @Test func ratesOfASteadyModel() throws {
    let time = FakeTime()
    // Prompts run at 1000 tokens a second, single tokens at 50.
    let model = FakeLanguageModel(onForward: { time.pass($0 == 1 ? 0.02 : Double($0) * 0.001) })
    var latency = Self.latency(time)
    latency.budget = 3
    let metrics = latency.measure(model)
    // Context 64: prompt min(512, 32), decode 63 tokens at most.
    #expect(metrics.prefill.tokens == 32 && metrics.prefill.runs == 10)
    #expect(abs(metrics.prefill.rate - 1000) < 1e-6)
    let decode = try #require(metrics.decode)
    #expect(decode.tokens == 63)
    #expect(abs(decode.rate - 50) < 1e-6 && abs(decode.slowRate - 50) < 1e-6 && decode.deviation < 1e-12)
    // A run takes 1.26 s and more: the budget of 3 s ends at 3 runs.
    #expect(decode.runs == 3)
    #expect(Self.latency(time).measure(model).decode?.runs == 10)
    #expect(metrics.bytesPerToken == 1234 && metrics.threads == Parallel.threadCount)
    #expect(metrics.timeToFirstToken == nil && metrics.peakMemory == nil)
  }

  @Test func warmUpDoesNotCountAndTailsDo() throws {
    let time = FakeTime()
    let calls = Locked(0)
    // The first prompt is slow (cold), then every tenth single token is.
    let model = FakeLanguageModel(onForward: { count in
      let call = calls.withLock { number -> Int in
        number += 1
        return number
      }
      if count > 1 {
        time.pass(call == 1 ? 9 : 0.032)
      } else {
        time.pass(call % 10 == 0 ? 0.01 : 0.001)
      }
    })
    let metrics = Self.latency(time).measure(model)
    #expect(abs(metrics.prefill.rate - 1000) < 1e-6)
    let decode = try #require(metrics.decode)
    #expect(decode.runs == 10)
    #expect(abs(decode.rate - 1000) < 1e-6)
    #expect(abs(decode.slowRate - 100) < 1e-6)
  }

  @Test func slowModelsStillRunThreeTimes() {
    let time = FakeTime()
    let model = FakeLanguageModel(onForward: { time.pass(Double($0)) })
    let metrics = Self.latency(time).measure(model)
    #expect(metrics.prefill.runs == 3 && metrics.decode?.runs == 3)
  }

  @Test(arguments: [2, 3, 5, 17])
  func tinyContextsAreNotExceeded(context: Int) {
    // The fake's forward traps when its cache is too small.
    let model = FakeLanguageModel(contextLength: context)
    var latency = Latency()
    latency.runs = 1
    latency.minimumRuns = 1
    let metrics = latency.measure(model)
    #expect(metrics.prefill.tokens >= 1 && (metrics.decode?.tokens ?? 0) >= 1)
    #expect(metrics.prefill.tokens < context)
  }

  @Test func encoderBatch() {
    let time = FakeTime()
    let model = TimedEncoder(pass: { time.pass(0.5) })
    let metrics = Self.latency(time).measure(model, sequences: [[1, 2, 3], [4, 5]])
    #expect(metrics.prefill.tokens == 5 && abs(metrics.prefill.median - 0.1) < 1e-9)
    #expect(metrics.decode == nil && metrics.bytesPerToken == nil)
  }

  @Test func firstTokenIsTheMedian() throws {
    let time = FakeTime()
    let waits = Locked([8.0, 1, 2])
    let median = Self.latency(time).timeToFirstToken {
      time.pass(waits.withLock { $0.removeFirst() })
    }
    #expect(median == 2)
    struct Broken: Error {}
    #expect(throws: Broken.self) { try Self.latency(time).timeToFirstToken { throw Broken() } }
  }

  @Test func speedByHand() {
    let speed = LatencyMetrics.Speed(tokens: 1, runs: 5, samples: [1, 2, 3, 4, 10])
    #expect(speed.median == 3 && speed.deviation == 1)
    #expect(abs(speed.percentile95 - 8.8) < 1e-12)
    #expect(abs(speed.rate - 1.0 / 3) < 1e-15)
  }

  struct TimedEncoder: EncoderModel {
    var embeddingLength: Int { 1 }
    var contextLength: Int { 6 }
    var pass: @Sendable () -> Void
    func embed(_ sequences: [[Int]]) -> Matrix {
      pass()
      return Matrix(rows: sequences.count, columns: 1)
    }
  }
}

@Suite struct MachineTests {
  @Test func processorNames() {
    #expect(
      Machine.processorName("processor\t: 0\nmodel\t\t: 1\nmodel name\t: AMD EPYC 7B13: 64\n")
        == "AMD EPYC 7B13: 64")
    #expect(
      Machine.processorName("processor : 0\nHardware : BCM2835\nModel : Raspberry Pi 5\n") == "Raspberry Pi 5"
    )
    #expect(Machine.processorName("") == "unknown")
    #expect(
      Machine.features("processor\t: 0\nflags\t\t: fpu sse4_2 avx2 mmx avx512_vnni\n")
        == ["avx2", "avx512_vnni", "sse4_2"])
    #expect(Machine.features("Features\t: fp asimd asimddp crc32\n") == ["asimd", "asimddp"])
    #expect(Machine.features("") == [])
  }

  @Test func thisMachineIsDescribed() {
    let machine = Machine.current()
    #expect(machine.processors >= 1 && !machine.instructionSet.isEmpty)
    #expect(machine.system.split(separator: " ").count >= 3)
    #expect((machine.memory ?? 1 << 30) > 1 << 20)
  }

  @Test func peakMemoryGrowsWithUse() throws {
    let wasReset = MemoryUse.resetPeak()
    let before = try #require(MemoryUse.peak)
    let bytes = [UInt8](repeating: 1, count: 64 << 20)
    let after = try #require(MemoryUse.peak)
    #expect(bytes.reduce(0) { $0 &+ Int($1) } == 64 << 20)
    #expect(after > 0 && after >= before)
    // Other tests may have set a higher peak where it cannot be reset, and may free memory meanwhile.
    if wasReset { #expect(after >= 64 << 20) }
  }
}
