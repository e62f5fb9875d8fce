import Evaluation
import TensorCore
import Testing

@Suite struct MachineLimitsTests {
  @Test("thread counts double up to all of them")
  func threadCounts() {
    #expect(MachineProbe.threadCounts(upTo: 1) == [1])
    #expect(MachineProbe.threadCounts(upTo: 2) == [1, 2])
    #expect(MachineProbe.threadCounts(upTo: 6) == [1, 2, 4, 6])
    #expect(MachineProbe.threadCounts(upTo: 8) == [1, 2, 4, 8])
  }

  @Test("sizes of caches as the system writes them")
  func sizes() {
    #expect(MachineProbe.size(ofText: "1024K\n") == 1 << 20)
    #expect(MachineProbe.size(ofText: "32M\n") == 32 << 20)
    #expect(MachineProbe.size(ofText: "512\n") == 512)
    #expect(MachineProbe.size(ofText: "") == nil)
    #expect(MachineProbe.size(ofText: "K") == nil)
  }

  @Test("a rate is a median with its extremes")
  func rate() {
    let rate = MachineLimits.Rate([4, 1, 2])
    #expect(rate.median == 2 && rate.least == 1 && rate.most == 4 && rate.runs == 3 && rate.spread == 1.5)
  }

  @Test("every figure is there, and the number of threads is what it was")
  func measure() {
    var probe = MachineProbe()
    (probe.runs, probe.seconds, probe.memoryBytes) = (2, 1e-4, 8 << 20)
    let before = Parallel.threadCount
    let limits = probe.measure()
    #expect(Parallel.threadCount == before)
    let counts = MachineProbe.threadCounts(upTo: before)
    #expect(limits.reading.filter { $0.level == .memory }.map(\.threads) == counts)
    #expect(limits.reading.allSatisfy { $0.rate.median > 0 && $0.bytes % 4096 == 0 })
    #expect(limits.arithmetic.count == 3 * (before > 1 ? 2 : 1))
    for figure in limits.arithmetic { #expect((figure.rate == nil) == (figure.instructions == nil)) }
    #expect(limits.readBandwidth(threads: 1) != nil)
  }
}
