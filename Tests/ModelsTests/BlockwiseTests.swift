import Foundation
import ModelFiles
import Models
import TensorCore
import Testing

/// A model taken apart gives what the whole model gives.
@Suite("Models block by block")
struct BlockwiseTests {
  /// The final activations of sequences that lie one behind the other, every step of every block run by itself.
  private func final(_ model: any BlockwiseModel, _ checkpoint: Checkpoint, _ sequences: [[Int]]) throws
    -> Matrix
  {
    let tensors = TensorLookup(checkpoint)
    let (tokens, width) = (sequences.reduce(0) { $0 + $1.count }, model.hiddenWidth)
    var hidden = [Float](repeating: 0, count: tokens * width)
    var ranges: [Range<Int>] = []
    try hidden.withUnsafeMutableBufferPointer { hidden in
      let base = try #require(hidden.baseAddress)
      var end = 0
      for sequence in sequences {
        try model.embed(sequence, tensors: tensors, into: base + end * width)
        ranges.append(end..<end + sequence.count)
        end += sequence.count
      }
      for index in 0..<model.blockCount {
        let block = try model.makeBlock(index, tensors: tensors)
        for (place, step) in model.steps(ofBlock: index).enumerated() {
          var x = [Float](repeating: 0, count: tokens * step.inputWidth)
          x.withUnsafeMutableBufferPointer { x in
            guard let x = x.baseAddress else { return }
            block.input(ofStep: place, hidden: base, sequences: ranges, into: x)
            block.finish(step: place, x: x, tokens: tokens, hidden: base)
          }
        }
      }
    }
    return Matrix(rows: tokens, columns: width, elements: hidden)
  }

  @Test("decoders: the same logits", arguments: TinyModel.language)
  func decoders(_ name: String) throws {
    let checkpoint = try TinyModel.checkpoint(name)
    let model = try #require(checkpoint.architecture?.blockwise)
    let sequences = [[1, 5, 9, 3, 7, 2, 11, 4], [3, 8, 2], [6, 6, 1, 12, 10]]
    let hidden = try final(model, checkpoint, sequences)
    guard case .language(let whole) = try checkpoint.makeModel() else {
      Issue.record("no language model")
      return
    }
    let output = try TensorLookup(checkpoint).matrix(
      checkpoint.isTied ? model.embeddingNames[0] : try #require(model.outputName))
    var start = 0
    for sequence in sequences {
      let expected = whole.forward(
        sequence, cache: whole.makeCache(capacity: sequence.count), logits: .from(0))
      var x = [Float](repeating: 0, count: sequence.count * model.hiddenWidth)
      var logits = [Float](repeating: 0, count: sequence.count * output.rows)
      try x.withUnsafeMutableBufferPointer { x in
        try hidden.elements.withUnsafeBufferPointer { hidden in
          let (x, hidden) = (try #require(x.baseAddress), try #require(hidden.baseAddress))
          try model.outputInput(
            hidden: hidden + start * model.hiddenWidth, tokens: sequence.count,
            tensors: TensorLookup(checkpoint), into: x)
          logits.withUnsafeMutableBufferPointer { logits in
            guard let logits = logits.baseAddress else { return }
            output.multiply(x, tokens: sequence.count, into: logits)
          }
        }
      }
      let worst = zip(logits, expected.elements).map { abs($0 - $1) }.max() ?? .infinity
      #expect(worst < 2e-4 * (1 + (expected.elements.map { abs($0) }.max() ?? 0)), "\(name): \(worst)")
      start += sequence.count
    }
  }

  @Test("encoders: the same hidden states, pooled", arguments: TinyModel.encoders)
  func encoders(_ name: String) throws {
    let checkpoint = try TinyModel.checkpoint(name)
    let model = try #require(checkpoint.architecture?.blockwise)
    let sequences = [[2, 5, 9, 3], [2, 8, 7, 6, 4, 3]]
    let hidden = try final(model, checkpoint, sequences)
    guard case .encoder(let whole) = try checkpoint.makeModel() else {
      Issue.record("no encoder")
      return
    }
    let expected = whole.embed(sequences)
    // Pooling by the first token or by the mean, normalised or not: the direction is enough.
    var start = 0
    for (place, sequence) in sequences.enumerated() {
      let rows = (start..<start + sequence.count).map { Array(hidden.row($0)) }
      let mean = (0..<model.hiddenWidth).map { column in
        rows.reduce(Float(0)) { $0 + $1[column] } / Float(rows.count)
      }
      let candidates = [mean, rows[0]].map { cosine($0, Array(expected.row(place))) }
      #expect((candidates.max() ?? 0) > 0.99999, "\(name): \(candidates)")
      start += sequence.count
    }
  }

  private func cosine(_ a: [Float], _ b: [Float]) -> Double {
    let (dot, aa, bb) = zip(a, b).reduce((0.0, 0.0, 0.0)) {
      ($0.0 + Double($1.0 * $1.1), $0.1 + Double($1.0 * $1.0), $0.2 + Double($1.1 * $1.1))
    }
    return dot / (aa * bb).squareRoot()
  }

  @Test("every linear layer of a block is in one step", arguments: TinyModel.language + TinyModel.encoders)
  func steps(_ name: String) throws {
    let checkpoint = try TinyModel.checkpoint(name)
    let model = try #require(checkpoint.architecture?.blockwise)
    for index in 0..<model.blockCount {
      let inSteps = model.steps(ofBlock: index).flatMap(\.layers)
      let linear = model.tensorNames(ofBlock: index).filter {
        checkpoint.role(of: $0).isLinear && checkpoint.tensor($0)?.shape.count == 2
      }
      #expect(Set(inSteps) == Set(linear) && inSteps.count == linear.count)
      for step in model.steps(ofBlock: index) {
        for layer in step.layers { #expect(checkpoint.tensor(layer)?.rowLength == step.inputWidth) }
      }
    }
  }
}
