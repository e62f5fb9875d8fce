import Models
import TensorCore
import Testing

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// What decoding repeats for each token: attention cut over the cache, half-precision caches, the next token's logits, its choice.
@Suite("Decoding", .serialized) struct DecodingTests {
  struct Shape: Sendable, CustomTestStringConvertible {
    var heads, keyValueHeads, length, count: Int
    var window: Int?
    var precision = KVPrecision.f32
    var testDescription: String {
      "\(heads)/\(keyValueHeads) heads of \(length), \(count) keys, window \(window ?? 0), \(precision)"
    }
  }

  static let shapes = [KVPrecision.f32, .f16].flatMap { precision in
    [
      Shape(heads: 1, keyValueHeads: 1, length: 16, count: 1, precision: precision),
      Shape(heads: 4, keyValueHeads: 2, length: 24, count: 255, precision: precision),
      Shape(heads: 4, keyValueHeads: 4, length: 32, count: 256, precision: precision),
      Shape(heads: 6, keyValueHeads: 2, length: 33, count: 257, precision: precision),
      Shape(heads: 3, keyValueHeads: 1, length: 64, count: 1300, precision: precision),
      Shape(heads: 4, keyValueHeads: 2, length: 16, count: 900, window: 300, precision: precision),
      Shape(heads: 2, keyValueHeads: 2, length: 8, count: 700, window: 1, precision: precision),
    ]
  }

  /// Numbers that half precision holds, so that both precisions have one definition.
  private static func numbers(_ count: Int, _ generator: inout SeededGenerator) -> [Float] {
    (0..<count).map { _ in Float((generator.uniform() * 512).rounded() / 128 - 2) }
  }

  private static func buffer(_ values: [Float], _ precision: KVPrecision) -> FloatBuffer {
    let buffer = FloatBuffer(count: values.count)
    values.withUnsafeBufferPointer { source in
      guard let base = source.baseAddress else { return }
      Kernels.encode(
        base, as: precision == .f32 ? .f32 : .f16, into: UnsafeMutableRawPointer(buffer.base),
        count: values.count)
    }
    return buffer
  }

  @Test("one token's attention is the definition's, the same for any number of threads", arguments: shapes)
  func attention(shape: Shape) {
    var generator = SeededGenerator(seed: 5)
    let (width, room) = (shape.heads * shape.length, shape.count + 3)
    let stored = shape.keyValueHeads * room * shape.length
    let queries = Self.numbers(width, &generator)
    let (keys, values) = (Self.numbers(stored, &generator), Self.numbers(stored, &generator))
    let attention = Attention(
      heads: shape.heads, keyValueHeads: shape.keyValueHeads, headLength: shape.length, isCausal: true)
    func layout(_ values: [Float]) -> Attention.Layout {
      Attention.Layout(
        base: Self.buffer(values, shape.precision), offset: 0, headStride: room * shape.length,
        tokenStride: shape.length, format: shape.precision == .f32 ? .f32 : .f16)
    }
    func results(_ threads: Int, _ partials: ActivationScratch?) -> [Float] {
      let before = Parallel.threadCount
      defer { Parallel.threadCount = before }
      Parallel.threadCount = threads
      let output = FloatBuffer(count: width)
      attention.apply(
        queries: Self.buffer(queries, .f32), tokens: 1, first: shape.count - 1, keys: layout(keys),
        values: layout(values), count: shape.count, window: shape.window, into: output, partials: partials)
      return Array(UnsafeBufferPointer(start: output.base, count: width))
    }
    let cut = results(1, ActivationScratch())
    for threads in [2, 5] { #expect(results(threads, ActivationScratch()) == cut) }
    let whole = results(1, nil)
    for head in 0..<shape.heads {
      let expected = Self.naive(queries, keys, values, shape, head: head, room: room)
      for (place, value) in expected.enumerated() {
        #expect(abs(Double(cut[head * shape.length + place]) - value) < 2e-5 * max(1, abs(value)))
        #expect(abs(Double(whole[head * shape.length + place]) - value) < 2e-5 * max(1, abs(value)))
      }
    }
  }

  @Test("codes of 8 bits are what half precision is to within their rounding, whole and cut")
  func codes() {
    var generator = SeededGenerator(seed: 3)
    let (count, length) = (600, 64)
    let queries = Self.numbers(2 * length, &generator)
    // Codes from -127 to 127 of scale 1/64 with a peak in each block: q8_0 holds them exactly.
    var rows = (0..<count * length).map { _ in Float((generator.uniform() * 250 - 125).rounded()) / 64 }
    for block in 0..<count * length / 32 { rows[32 * block + block % 32] = 127 / 64 }
    let packed = FloatBuffer(count: rows.count)
    rows.withUnsafeBufferPointer { source in
      guard let base = source.baseAddress else { return }
      Kernels.encodeBlocks(base, into: UnsafeMutableRawPointer(packed.base), count: rows.count)
    }
    let attention = Attention(heads: 2, keyValueHeads: 1, headLength: length, isCausal: true)
    func results(_ buffer: FloatBuffer, _ format: TensorFormat, _ partials: ActivationScratch?) -> [Float] {
      let layout = Attention.Layout(
        base: buffer, offset: 0, headStride: 0, tokenStride: length, format: format)
      let output = FloatBuffer(count: 2 * length)
      attention.apply(
        queries: Self.buffer(queries, .f32), tokens: 1, first: count - 1, keys: layout, values: layout,
        count: count, window: nil, into: output, partials: partials)
      return Array(UnsafeBufferPointer(start: output.base, count: 2 * length))
    }
    for partials in [nil, ActivationScratch()] {
      let exact = results(Self.buffer(rows, .f32), .f32, partials)
      for (a, b) in zip(exact, results(packed, .q8_0, partials)) { #expect(abs(a - b) < 1e-3) }
    }
  }

  private static func naive(
    _ queries: [Float], _ keys: [Float], _ values: [Float], _ shape: Shape, head: Int, room: Int
  ) -> [Double] {
    let start = (head * shape.keyValueHeads / shape.heads) * room * shape.length
    let seen = max(0, shape.count - (shape.window ?? shape.count))..<shape.count
    let scores = seen.map { key in
      (0..<shape.length).reduce(0.0) { sum, place in
        sum + Double(queries[head * shape.length + place]) * Double(keys[start + key * shape.length + place])
      } / Double(shape.length).squareRoot()
    }
    let most = scores.max() ?? 0
    let weights = scores.map { exp($0 - most) }
    let total = weights.reduce(0, +)
    return (0..<shape.length).map { place in
      zip(seen, weights).reduce(0.0) {
        $0 + $1.1 / total * Double(values[start + $1.0 * shape.length + place])
      }
    }
  }

  @Test(
    "the next token's logits are those of a pass of one token, bit for bit", arguments: TinyModel.language)
  func next(name: String) throws {
    let model = try languageModel(TinyModel.checkpoint(name))
    let tokens = (0..<20).map { ($0 * 7 + 3) % model.vocabularySize }
    for precision in KVPrecision.allCases {
      let (one, other) = (
        model.makeCache(capacity: 20, precision: precision),
        model.makeCache(capacity: 20, precision: precision)
      )
      #expect(one.precision == precision)
      var logits = [Float](repeating: 0, count: model.vocabularySize)
      for token in tokens {
        let whole = model.forward([token], cache: one, logits: .last).elements
        logits.withUnsafeMutableBufferPointer { target in
          if let base = target.baseAddress { model.next(token, cache: other, into: base) }
        }
        #expect(logits == whole)
      }
      #expect(one.count == 20 && other.count == 20)
    }
  }

  @Test(
    "sequences of unequal lengths that go on together have the logits of each alone, the same on any number of threads",
    arguments: TinyModel.language)
  func together(name: String) throws {
    let model = try languageModel(TinyModel.checkpoint(name))
    let size = model.vocabularySize
    let beginnings = [5, 1, 9, 3, 30].map { length in (0..<length).map { ($0 * 5 + length) % size } }
    func begun() -> [KVCache] {
      beginnings.map { tokens in
        let cache = model.makeCache(capacity: 40)
        _ = model.forward(tokens, cache: cache, logits: .none)
        return cache
      }
    }
    func goOn(_ threads: Int) -> [Float] {
      let before = Parallel.threadCount
      defer { Parallel.threadCount = before }
      Parallel.threadCount = threads
      let caches = begun()
      var all: [Float] = []
      for step in 0..<4 {
        var logits = [Float](repeating: 0, count: caches.count * size)
        logits.withUnsafeMutableBufferPointer { target in
          guard let base = target.baseAddress else { return }
          model.next(caches.indices.map { ($0 * 3 + step) % size }, caches: caches, into: base)
        }
        all += logits
      }
      #expect(caches.map(\.count) == beginnings.map { $0.count + 4 })
      return all
    }
    let found = goOn(1)
    #expect(goOn(2) == found && goOn(5) == found)
    let alone = begun()
    for step in 0..<4 {
      for (place, cache) in alone.enumerated() {
        let row = model.forward([(place * 3 + step) % size], cache: cache, logits: .last).elements
        let start = (step * alone.count + place) * size
        let scale = row.reduce(0) { max($0, abs($1)) }
        for (a, b) in zip(row, found[start..<start + size]) { #expect(abs(a - b) < 1e-3 * max(1, scale)) }
      }
    }
  }

  @Test(
    "half-precision keys and values change logits by little, in batches and token by token",
    arguments: TinyModel.language)
  func half(name: String) throws {
    let model = try languageModel(TinyModel.checkpoint(name))
    let tokens = (0..<40).map { ($0 * 11 + 5) % model.vocabularySize }
    func logits(_ precision: KVPrecision, _ step: Int) -> [Float] {
      let cache = model.makeCache(capacity: 40, precision: precision)
      return stride(from: 0, to: 40, by: step).flatMap { start in
        model.forward(Array(tokens[start..<start + step]), cache: cache, logits: .from(0)).elements
      }
    }
    let exact = logits(.f32, 40)
    let scale = exact.reduce(0) { max($0, abs($1)) }
    for step in [1, 4, 40] {
      let far = zip(exact, logits(.f16, step)).reduce(0) { max($0, abs($1.0 - $1.1)) }
      #expect(far < 0.01 * scale, "step \(step): \(far) of \(scale)")
      let farther = zip(exact, logits(.int8, step)).reduce(0) { max($0, abs($1.0 - $1.1)) }
      #expect(farther < 0.05 * scale, "int8, step \(step): \(farther) of \(scale)")
    }
    let (full, small) = (model.makeCache(capacity: 8), model.makeCache(capacity: 8, precision: .f16))
    #expect(small.byteCount <= full.byteCount / 2 + 8)
  }

  @Test("a cache that grows keeps what it holds", arguments: KVPrecision.allCases)
  func growth(precision: KVPrecision) throws {
    let model = try languageModel(TinyModel.checkpoint("llama-tied"))
    // Room for one token at first, and for all at first.
    let tokens = (0..<12).map { $0 % model.vocabularySize }
    let cache = model.makeCache(capacity: 12, precision: precision)
    let whole = model.forward(tokens, cache: cache, logits: .last).elements
    cache.truncate(to: 5)
    let again = model.forward(Array(tokens[5...]), cache: cache, logits: .last).elements
    for (a, b) in zip(whole, again) { #expect(abs(a - b) < 1e-4) }
  }

  @Test(
    "tokens are drawn as by sorting all of them",
    arguments: [(0, 1.0), (0, 0.8), (5, 1.0), (7, 0.6), (400, 0.9)])
  func sampling(topK: Int, topP: Double) {
    var generator = SeededGenerator(seed: 8)
    var sampler = Sampler(temperature: 0.7, topK: topK, topP: Float(topP), seed: 4)
    var plain = PlainSampler(
      temperature: 0.7, topK: topK, topP: Float(topP), generator: SeededGenerator(seed: 4))
    for round in 0..<200 {
      var logits = (0..<300).map { _ in Float((generator.uniform() * 40).rounded() / 8) }
      if round % 3 == 0 { logits[round] = .nan }
      #expect(sampler.pick(logits[...]) == plain.pick(logits))
    }
  }

  /// The definition, with a sort.
  private struct PlainSampler {
    var temperature: Float
    var topK: Int
    var topP: Float
    var generator: SeededGenerator

    mutating func pick(_ values: [Float]) -> Int {
      let top = values.filter { !$0.isNaN }.max() ?? 0
      var order = values.indices.filter { !values[$0].isNaN }
      if topK > 0 || topP < 1 { order.sort { (values[$0], $1) > (values[$1], $0) } }
      if topK > 0 { order = Array(order.prefix(topK)) }
      var weights = order.map { exp(Double(values[$0] - top) / Double(temperature)) }
      if topP < 1 {
        let limit = Double(topP) * weights.reduce(0, +)
        var (sum, count) = (0.0, 0)
        while count < weights.count, count == 0 || sum < limit {
          (sum, count) = (sum + weights[count], count + 1)
        }
        weights = Array(weights.prefix(count))
      }
      var rest = generator.uniform() * weights.reduce(0, +)
      for (place, weight) in weights.enumerated() {
        rest -= weight
        if rest < 0 { return order[place] }
      }
      return order[max(0, weights.count - 1)]
    }
  }
}
