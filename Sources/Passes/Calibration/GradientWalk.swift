import Foundation
import ModelFiles
import Models
import TensorCore

/// The way of calibration text through a model's blocks and back, with gradients of its predictions.
struct GradientWalk {
  let model: any GradientModel
  let checkpoint: Checkpoint
  let sequences: [[Int]]
  let context: PassContext
  let tensors: [String: StoredTensor]
  let ranges: [Range<Int>]
  /// Sequences that go forward together.
  private let batches: [CalibrationSweep.Batch]
  /// Hidden states before each block, and behind the last: of one place at a time, the others are in a temporary file.
  private var states: [TensorBytes] = []
  private let spill = TensorSpill()
  /// The bytes that whole matrices G may still take; a layer's that would take more is its mean alone.
  var room = 0
  var logits: [Double] = []
  var frequencies: [Double] = []
  var inputSquares: [String: [Float]] = [:]

  var tokens: Int { ranges.last?.upperBound ?? 0 }
  private var width: Int { model.hiddenWidth }

  init(_ model: any GradientModel, _ checkpoint: Checkpoint, sequences: [[Int]], context: PassContext) {
    self.model = model
    self.checkpoint = checkpoint
    self.sequences = sequences
    self.context = context
    tensors = Dictionary(checkpoint.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    var end = 0
    ranges = sequences.map { sequence in
      defer { end += sequence.count }
      return end..<end + sequence.count
    }
    batches = CalibrationSweep.batches(sequences, start: 0, isHeldOut: false)
  }

  private func lookup(_ names: [String]) throws -> TensorLookup {
    TensorLookup(
      try names.compactMap { name in
        guard let tensor = tensors[name] else { return nil }
        return tensor.format == .f32 ? tensor : tensor.replaced(by: try matrix(tensor))
      }, path: checkpoint.source.path)
  }

  /// A tensor's numbers; what is mapped of it need not stay in memory.
  private func matrix(_ tensor: StoredTensor) throws -> Matrix {
    let bytes = try tensor.bytes.load()
    var loaded = tensor
    loaded.bytes = TensorBytes(bytes)
    defer { bytes.letGo() }
    return try CalibrationSweep.matrix(loaded)
  }

  /// - Parameter watching: whether squares of inputs are kept; weights are multiplied as they are stored then.
  mutating func goForward(watching: Bool) throws {
    let hidden = try ActivationStore(count: tokens * width, limit: nil)
    let embedding = try lookup(model.embeddingNames)
    for (sequence, range) in zip(sequences, ranges) {
      try model.embed(sequence, tensors: embedding, into: hidden.base + range.lowerBound * width)
    }
    try keep(hidden)
    for index in 0..<model.blockCount {
      try context.progress("sensitivity", Double(index) / Double(3 * model.blockCount))
      let names = model.tensorNames(ofBlock: index)
      let block = try model.makeBlock(index, tensors: try watching ? stored(names) : lookup(names))
      for (place, step) in model.steps(ofBlock: index).enumerated() where watching || place % 2 == 1 {
        var squares = [Double](repeating: 0, count: watching ? step.inputWidth : 0)
        try ReusedMemory.keeping {
          for batch in batches {
            let states = hidden.base + batch.start * width
            let x = try ActivationStore(count: batch.tokens * step.inputWidth, limit: nil)
            block.input(ofStep: place, hidden: states, sequences: batch.ranges, into: x.base)
            addSquares(of: x.base, rows: batch.tokens, to: &squares)
            if place % 2 == 1 { block.finish(step: place, x: x.base, tokens: batch.tokens, hidden: states) }
          }
        }
        guard watching else { continue }
        let means = squares.map { Float($0 / Double(max(1, tokens))) }
        for name in step.layers { inputSquares[name] = means }
      }
      try keep(hidden)
    }
  }

  private mutating func keep(_ hidden: ActivationStore) throws {
    let bytes = UnsafeRawBufferPointer(start: hidden.base, count: tokens * width * 4)
    states.append(
      try spill.keep(ByteRegion(uninitializedCount: bytes.count) { $0.copyMemory(from: bytes) }))
  }

  /// The states before block `index`, or behind the last; what was kept of them is not needed again.
  private func states(before index: Int) throws -> ActivationStore {
    let hidden = try ActivationStore(count: tokens * width, limit: nil)
    try states[index].load().withBytes {
      UnsafeMutableRawBufferPointer(start: hidden.base, count: $0.count).copyMemory(from: $0)
    }
    return hidden
  }

  private func stored(_ names: [String]) throws -> TensorLookup {
    TensorLookup(
      try names.compactMap { name in try tensors[name].map { try CalibrationSweep.loaded($0) } },
      path: checkpoint.source.path, roundsActivations: true)
  }

  private func addSquares(of x: UnsafePointer<Float>, rows: Int, to sums: inout [Double]) {
    let columns = sums.count
    for row in 0..<rows {
      for column in 0..<columns {
        let value = Double(x[row * columns + column])
        sums[column] += value * value
      }
    }
  }

  /// The gradients by the last block's output.
  mutating func goBackThroughOutput(rows: Int) throws -> ActivationStore {
    let last = try states(before: model.blockCount)
    let norms = try lookup(model.outputNormNames)
    let gradient = try ActivationStore(count: tokens * width, limit: nil)
    try model.outputInput(hidden: last.base, tokens: tokens, tensors: norms, into: gradient.base)
    guard Kernels.allFinite(gradient.base, count: tokens * width) else {
      throw PassError("the model's activations are not finite on calibration text; use --method rtn")
    }
    let name = checkpoint.isTied ? model.embeddingNames.first ?? "" : model.outputName ?? ""
    guard let tensor = tensors[name] else { throw PassError("tensor '\(name)' is missing") }
    let output = try matrix(tensor)
    let vocabulary = output.rows
    logits = [Double](repeating: 0, count: vocabulary)
    frequencies = logits
    for token in sequences.joined() where token < vocabulary {
      frequencies[token] += 1 / Double(max(1, tokens))
    }
    var generator = SeededGenerator(seed: context.seed ^ 0x5EED_F15E)
    let scores = try ActivationStore(count: rows * vocabulary, limit: nil)
    for start in stride(from: 0, to: tokens, by: rows) {
      let count = min(rows, tokens - start)
      let x = gradient.base + start * width
      let draws = (0..<count).map { _ in generator.uniform() }
      output.elements.withUnsafeBufferPointer {
        guard let w = $0.baseAddress else { return }
        LinearAlgebra.multiply(
          x, w, transposed: true, rows: count, inner: width, columns: vocabulary, into: scores.base)
        draw(scores.base, rows: count, vocabulary: vocabulary, draws)
        LinearAlgebra.multiply(
          scores.base, w, transposed: false, rows: count, inner: vocabulary, columns: width, into: x)
      }
    }
    try model.goBackThroughOutputNorm(
      tensors: norms, hidden: last.base, tokens: tokens, gradient: gradient.base)
    return gradient
  }

  /// Replaces logits by their gradients, one at the drawn label less the probabilities, and adds up p (1 − p).
  private mutating func draw(
    _ scores: UnsafeMutablePointer<Float>, rows: Int, vocabulary: Int, _ draws: [Double]
  ) {
    nonisolated(unsafe) let base = scores
    Parallel.forEach(rows) { row in
      let line = base + row * vocabulary
      let log = Kernels.logSumExp(line, count: vocabulary)
      var (rest, label) = (draws[row], vocabulary - 1)
      for token in 0..<vocabulary {
        let p = exp(Double(line[token]) - Double(log))
        if rest >= 0 {
          rest -= p
          if rest < 0 { label = token }
        }
        line[token] = Float(p)
      }
      // The sum below needs the probabilities, so the label is marked beyond them: 1 − p becomes −p − 1.
      line[label] = -line[label] - 1
    }
    for row in 0..<rows {
      let line = scores + row * vocabulary
      for token in 0..<vocabulary {
        let isLabel = line[token] < 0
        let p = isLabel ? -line[token] - 1 : line[token]
        logits[token] += Double(p) * (1 - Double(p)) / Double(max(1, tokens))
        line[token] = (isLabel ? 1 : 0) - p
      }
    }
  }

  /// Goes back through a block; G of each of its layers, or the mean of its diagonal alone.
  mutating func goBack(
    block index: Int, gradient: ActivationStore, meansOnly: Bool
  ) throws -> [(name: String, gram: [Float], count: Int, isWhole: Bool)] {
    try context.progress(
      "sensitivity", Double(3 * model.blockCount - 2 * index) / Double(3 * model.blockCount))
    // For a mean alone weights are multiplied as they are stored, as on the way forwards.
    let names = model.tensorNames(ofBlock: index)
    let lookup = try meansOnly ? stored(names) : lookup(names)
    let hidden = try states(before: index)
    var grams: [(name: String, gram: [Float], count: Int, isWhole: Bool)] = []
    for name in model.steps(ofBlock: index).flatMap(\.layers) {
      let count = tensors[name]?.rowCount ?? 0
      let isWhole = !meansOnly && count * count * 4 <= room
      if isWhole { room -= count * count * 4 }
      grams.append((name, [Float](repeating: 0, count: isWhole ? count * count : 1), count, isWhole))
    }
    let factor = 1 / Float(max(1, tokens))
    for range in ranges {
      try model.goBack(
        throughBlock: index, tensors: lookup, hidden: hidden.base + range.lowerBound * width,
        tokens: range.count, gradient: gradient.base + range.lowerBound * width
      ) { name, outputs in
        guard let place = grams.firstIndex(where: { $0.name == name }) else { return }
        let columns = grams[place].count
        guard grams[place].isWhole else {
          let squares = Kernels.dotWide(outputs, outputs, count: range.count * columns)
          grams[place].gram[0] += Float(squares / Double(max(1, columns))) * factor
          return
        }
        grams[place].gram.withUnsafeMutableBufferPointer {
          guard let base = $0.baseAddress else { return }
          LinearAlgebra.addGram(of: outputs, rows: range.count, columns: columns, factor: factor, to: base)
        }
      }
    }
    return grams
  }

  /// E[x xᵀ] of rows.
  func gram(of x: UnsafePointer<Float>, columns: Int, rows: Int) -> [Float] {
    var result = [Float](repeating: 0, count: columns * columns)
    result.withUnsafeMutableBufferPointer {
      guard let base = $0.baseAddress else { return }
      LinearAlgebra.addGram(of: x, rows: rows, columns: columns, factor: 1 / Float(max(1, rows)), to: base)
    }
    return result
  }
}
