import Evaluation
import Foundation
import ModelFiles
import Models
import TensorCore
import Testing

/// The baseline's logits, kept: against both models side by side, and against the definition.
@Suite("Reference logits")
struct ReferenceTests {
  private static let chunks = EvaluationChunks(
    chunks: [
      .init(tokens: [1, 5, 3, 9, 2, 2, 7, 10, 0, 4, 6, 8], first: 4), .init(tokens: [1, 2, 3], first: 0),
      .init(tokens: [1, 10, 9, 8, 7, 6, 5, 4, 3, 2], first: 5),
    ], context: 12, fromStart: false, addsBeginningOfText: true, textName: "text", textHash: "hash",
    textTokens: 25)
  private static let baseline = FakeLanguageModel()
  private static let model = FakeLanguageModel(noise: 0.8)

  private static func key(_ files: [String] = ["a"], chunks: EvaluationChunks = chunks) -> ReferenceKey {
    ReferenceKey(modelName: "fake", files: files, vocabulary: 11, chunks: chunks)
  }

  private static func cache(k: Int?, drawn: Int = 0) throws -> ReferenceCache {
    try LanguageEvaluation.record(
      baseline, key: key(), shape: k.map { ReferenceShape(likeliest: $0, drawn: drawn) }, chunks: chunks
    ).cache
  }

  private static func withFile<Result>(_ body: (String) throws -> Result) throws -> Result {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("reference-\(UUID().uuidString)")
      .path
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try body(path)
  }

  @Test("whole rows give the figures of both models side by side, to the bit")
  func whole() throws {
    let exact = try LanguageEvaluation.run(Self.model, baseline: Self.baseline, chunks: Self.chunks)
    let cache = try Self.cache(k: nil)
    #expect(cache.shape == nil && cache.tailMass == nil)
    #expect(try LanguageEvaluation.run(Self.model, reference: cache, chunks: Self.chunks) == exact)
  }

  @Test("recording changes no figure of the baseline itself")
  func recording() throws {
    let alone = try LanguageEvaluation.run(Self.baseline, chunks: Self.chunks)
    #expect(
      try LanguageEvaluation.record(Self.baseline, key: Self.key(), chunks: Self.chunks).metrics == alone)
  }

  /// Σ over the k likeliest p·ln(p/q) + P·ln(P/Q) of the rest, from the fakes' formulas in 64-bit floats.
  private static func naive(k: Int) -> (divergence: Double, tail: Double) {
    func distribution(_ logits: [Float]) -> [Double] {
      let sum = logits.reduce(0) { $0 + exp(Double($1)) }
      return logits.map { exp(Double($0)) / sum }
    }
    var (total, tails, count) = (0.0, 0.0, 0)
    for chunk in chunks.chunks {
      for position in chunk.first..<chunk.tokens.count - 1 {
        let p = distribution(baseline.row(position: position, token: chunk.tokens[position]))
        let q = distribution(model.row(position: position, token: chunk.tokens[position]))
        let order = p.indices.sorted { (p[$0], $1) > (p[$1], $0) }
        let (kept, rest) = (order[..<k], order[k...])
        total += kept.reduce(0) { $0 + p[$1] * log(p[$1] / q[$1]) }
        let (tail, other) = (rest.reduce(0) { $0 + p[$1] }, rest.reduce(0) { $0 + q[$1] })
        if tail > 0 { total += tail * log(tail / other) }
        tails += tail
        count += 1
      }
    }
    return (total / Double(count), tails / Double(count))
  }

  @Test(
    "the likeliest tokens and one bucket give the definition's divergence, a lower bound",
    arguments: [1, 2, 5, 10, 11])
  func likeliest(k: Int) throws {
    let exact = try #require(
      try LanguageEvaluation.run(Self.model, baseline: Self.baseline, chunks: Self.chunks).divergence)
    let cache = try Self.cache(k: k)
    #expect(cache.shape == ReferenceShape(likeliest: k, drawn: 0))
    let metrics = try LanguageEvaluation.run(Self.model, reference: cache, chunks: Self.chunks)
    let divergence = try #require(metrics.divergence)
    let (expected, tail) = Self.naive(k: k)
    #expect(abs(divergence.mean.value - expected) < 1e-6)
    #expect(abs((divergence.approximation?.tailMass ?? -1) - tail) < 1e-6)
    #expect(abs((divergence.approximation?.lowerBound ?? -1) - expected) < 1e-6)
    #expect(divergence.mean.value <= exact.mean.value + 1e-6)
    if k >= 10 { #expect(abs(divergence.mean.value - exact.mean.value) < 1e-6) }
    // What needs no tail is exact.
    #expect(divergence.sameTop == exact.sameTop)
    #expect(abs(divergence.logRatio.value - exact.logRatio.value) < 1e-6)
    #expect(abs(divergence.deltaProbability.value - exact.deltaProbability.value) < 1e-6)
    // The same model is at no distance from itself.
    let same = try LanguageEvaluation.run(Self.baseline, reference: cache, chunks: Self.chunks)
    #expect((same.divergence?.maximum ?? 1) < 1e-6)
  }

  @Test("tokens drawn from the bucket estimate what the bucket hides, without bias")
  func drawn() throws {
    let exact = try #require(
      try LanguageEvaluation.run(Self.model, baseline: Self.baseline, chunks: Self.chunks).divergence)
    let bound = Self.naive(k: 2).divergence
    // With so many draws that systematic sampling is almost an integral, the estimate is the divergence itself.
    for (count, tolerance) in [(2000, 0.002), (50, 0.05), (4, 0.5)] {
      let cache = try Self.cache(k: 2, drawn: count)
      #expect(cache.shape == ReferenceShape(likeliest: 2, drawn: count))
      let metrics = try LanguageEvaluation.run(Self.model, reference: cache, chunks: Self.chunks)
      let divergence = try #require(metrics.divergence)
      let hidden = exact.mean.value - bound
      #expect(hidden > 0.01)
      #expect(abs(divergence.mean.value - bound - hidden) < tolerance * hidden, "\(count) drawn")
      #expect(abs((divergence.approximation?.lowerBound ?? 0) - bound) < 1e-6)
      // The same model is at no distance from itself, whatever was drawn.
      let same = try LanguageEvaluation.run(Self.baseline, reference: cache, chunks: Self.chunks)
      #expect((same.divergence?.maximum ?? 1) < 1e-6)
    }
  }

  @Test("a file holds what was kept, under 1000 bytes a token")
  func file() throws {
    try Self.withFile { path in
      for (k, drawn) in [(nil, 0), (4, 0), (3, 5)] {
        let cache = try Self.cache(k: k, drawn: drawn)
        try ReferenceFile.write(cache, to: path)
        let read = try ReferenceFile.read(path)
        #expect(read.key == cache.key && read.shape == ReferenceShape(likeliest: k ?? 11, drawn: drawn))
        let expected = try LanguageEvaluation.run(Self.model, reference: cache, chunks: Self.chunks)
        let found = try LanguageEvaluation.run(Self.model, reference: read, chunks: Self.chunks)
        let difference = try #require(expected.divergence).mean.value - (found.divergence?.mean.value ?? 0)
        #expect(abs(difference) < 1e-6)
      }
    }
    for vocabulary in [2, 11, 512, 32_000, 65_536, 65_537, 151_936, 300_000_000] {
      let shape = ReferenceFile.shape(vocabulary: vocabulary)
      let kept = shape.likeliest + shape.drawn
      let width = vocabulary <= 65_536 ? 2 : vocabulary <= 1 << 24 ? 3 : 4
      #expect(kept >= 1 && kept <= vocabulary && kept * (width + 4) + 12 <= 1000)
    }
  }

  @Test("any flipped byte, a cut and a lengthening are found, or change nothing that is read")
  func damage() throws {
    try Self.withFile { path in
      try ReferenceFile.write(try Self.cache(k: 3, drawn: 2), to: path)
      let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
      func attempt(_ bytes: [UInt8]) throws -> ReferenceCache? {
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        do { return try ReferenceFile.read(path) } catch let error as EvaluationError {
          #expect(error.reason == .badReference && !error.description.contains("\n"))
          return nil
        }
      }
      for place in bytes.indices {
        var damaged = bytes
        damaged[place] ^= 0x41
        // A changed key reads, and then belongs to something else.
        if let read = try attempt(damaged) { #expect(read.key != Self.key(), "byte \(place)") }
      }
      for length in stride(from: 0, to: bytes.count, by: 7) {
        #expect(try attempt(Array(bytes[..<length])) == nil)
      }
      #expect(try attempt(bytes + [0]) == nil)
      #expect(try attempt([UInt8]("compress reference 1\n".utf8) + [0xFF, 0xFF, 0xFF, 0xFF]) == nil)
    }
  }

  @Test("what belongs to another model, text, context or way of scoring does not fit")
  func keys() {
    let key = Self.key()
    #expect(key.difference(from: Self.key()) == nil)
    #expect(Self.key(["b", "a"]).model == Self.key(["a", "b"]).model)
    #expect(key.difference(from: Self.key(["b"]))?.contains("another model") == true)
    #expect(key.difference(from: Self.key(["b"]), ignoringModel: true) == nil)
    var other = Self.chunks
    other.textHash = "other"
    #expect(key.difference(from: Self.key(chunks: other))?.contains("another text") == true)
    other = Self.chunks
    other.context = 13
    #expect(key.difference(from: Self.key(chunks: other))?.contains("a context of 13") == true)
    other = Self.chunks
    other.chunks[0].first = 3
    #expect(key.difference(from: Self.key(chunks: other))?.contains("other tokens") == true)
    other = Self.chunks
    other.chunks[1].tokens[2] = 4
    #expect(key.difference(from: Self.key(chunks: other))?.contains("other tokens") == true)
  }

  @Test("logits of other chunks are refused")
  func mismatch() throws {
    let cache = try Self.cache(k: nil)
    var other = Self.chunks
    other.chunks.removeLast()
    let error = #expect(throws: EvaluationError.self) {
      try LanguageEvaluation.run(Self.model, reference: cache, chunks: other)
    }
    #expect(error?.reason == .mismatch)
  }
}
