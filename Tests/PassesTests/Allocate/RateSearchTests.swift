import Foundation
import ModelFiles
import Models
import Passes
import TensorCore
import Testing

/// The search for the smallest model within a budget, on models whose harm is known.
@Suite("Search for a size")
struct RateSearchTests {
  /// A model that knows its size by its name.
  private func model(_ bytes: Int) -> PassResult {
    let checkpoint = Checkpoint(
      name: "\(bytes)", architecture: nil, configuration: .null, tensors: [], isTied: false, tokenizer: nil,
      source: ModelSource(container: .gguf, path: "", files: [], tensors: []))
    return PassResult(checkpoint: checkpoint, plan: PassPlan(entries: []))
  }

  private func search(
    _ range: ClosedRange<Int>, choosing: @escaping (Double) -> Double, verifying: @escaping (Double) -> Double
  ) throws -> (bytes: Int, attempts: Int, notes: [String]) {
    let attempts = Locked(0)
    let result = try RateSearch(
      range: range, parameters: 8_000_000,
      attempt: {
        attempts.withLock { $0 += 1 }
        return model($0)
      },
      judge: { checkpoint, text in
        let bits = Double(checkpoint.name).map { $0 / 1e6 } ?? 0
        return text == .choosing ? choosing(bits) : verifying(bits)
      }
    ).run()
    return (Int(result.checkpoint.name) ?? 0, attempts.withLock { $0 }, result.notes)
  }

  @Test("finds the smallest within two percent, in few attempts", arguments: [2.6, 3.3, 4.5, 5.9, 7.4])
  func finds(_ bits: Double) throws {
    // ln harm falls by 1.2 a bit, and bends.
    let excess = { (x: Double) in -1.2 * (x - bits) - 0.05 * (x - bits) * abs(x - bits) }
    let found = try search(2_000_000...8_000_000, choosing: excess, verifying: excess)
    let reached = Double(found.bytes) / 1e6
    #expect(reached >= bits && reached < bits * 1.03, "\(reached) for \(bits)")
    #expect(found.attempts <= 8)
  }

  @Test("a choice that does not hold on the other text is made larger until it does")
  func repairs() throws {
    let found = try search(
      2_000_000...8_000_000, choosing: { -1.4 * ($0 - 4) }, verifying: { -1.4 * ($0 - 4.3) })
    let reached = Double(found.bytes) / 1e6
    #expect(reached >= 4.3 && reached < 4.5, "\(reached)")
  }

  @Test("where nothing holds, the best is returned and said to be only that")
  func impossible() throws {
    let found = try search(2_000_000...8_000_000, choosing: { 20 - $0 }, verifying: { 20 - $0 })
    #expect(found.bytes == 8_000_000)
    #expect(found.notes.contains { $0.contains("no model of up to 8000000 bytes") })
  }

  @Test("where everything holds, the smallest")
  func everything() throws {
    let found = try search(2_000_000...8_000_000, choosing: { -10 - $0 }, verifying: { -10 - $0 })
    #expect(found.bytes == 2_000_000)
  }
}
