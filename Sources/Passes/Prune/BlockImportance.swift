import Foundation
import ModelFiles
import Models
import TensorCore

/// Which blocks of a model can go.
struct BlockImportance {
  let checkpoint: Checkpoint
  let architecture: any ResizableArchitecture
  let calibration: CalibrationSet
  let context: PassContext

  /// The tokens that influences and losses are measured on.
  private static let mostTokens = 4096

  /// The blocks to keep, ascending: of those with the least influence on what goes through them, one after the other the one without
  /// which the loss is least; in models without a loss, those with the least influence.
  func kept(_ count: Int) throws -> [Int] {
    let all = architecture.blockCount
    guard count < all, let model = architecture.blockwise else { return Array(0..<min(count, all)) }
    let influences = try influences(model)
    let order = (0..<all).sorted { (influences[$0], $0) < (influences[$1], $1) }
    var gone: Set<Int> = []
    guard !architecture.isEncoder else {
      return Array(Set(0..<all).subtracting(order.prefix(all - count))).sorted()
    }
    let candidates = order.prefix(min(all, 2 * (all - count) + 2))
    for step in 0..<all - count {
      try context.progress("layers", Double(step) / Double(all - count))
      var best: (block: Int, loss: Double)?
      for block in candidates.sorted() where !gone.contains(block) {
        let blocks = (0..<all).filter { $0 != block && !gone.contains($0) }
        let loss = try Self.loss(try checkpoint.cutting(StructureCut(blocks: blocks)), on: sequences)
        if best.map({ loss < $0.loss }) ?? true { best = (block, loss) }
      }
      if let best { gone.insert(best.block) }
    }
    return (0..<all).filter { !gone.contains($0) }
  }

  private var sequences: [[Int]] {
    var (result, tokens) = ([[Int]](), 0)
    for sequence in calibration.sequences where tokens < Self.mostTokens {
      result.append(sequence)
      tokens += sequence.count
    }
    return result
  }

  /// 1 − the mean cosine of a block's input and output: ShortGPT's block influence (arXiv 2403.03853).
  private func influences(_ model: any BlockwiseModel) throws -> [Double] {
    let (sequences, width) = (sequences, model.hiddenWidth)
    var ranges: [Range<Int>] = []
    for sequence in sequences {
      let start = ranges.last?.upperBound ?? 0
      ranges.append(start..<start + sequence.count)
    }
    let tokens = ranges.last?.upperBound ?? 0
    let hidden = try ActivationStore(count: tokens * width, limit: context.memoryLimit)
    let before = try ActivationStore(count: tokens * width, limit: context.memoryLimit)
    let embedding = try lookup(model.embeddingNames)
    for (sequence, range) in zip(sequences, ranges) {
      try model.embed(sequence, tensors: embedding, into: hidden.base + range.lowerBound * width)
    }
    return try (0..<model.blockCount).map { index in
      before.base.update(from: hidden.base, count: tokens * width)
      let block = try model.makeBlock(index, tensors: try lookup(model.tensorNames(ofBlock: index)))
      for (place, step) in model.steps(ofBlock: index).enumerated() where place % 2 == 1 {
        let x = try ActivationStore(count: tokens * step.inputWidth, limit: context.memoryLimit)
        block.input(ofStep: place, hidden: hidden.base, sequences: ranges, into: x.base)
        block.finish(step: place, x: x.base, tokens: tokens, hidden: hidden.base)
      }
      var sum = 0.0
      for token in 0..<tokens {
        let (a, b) = (before.base + token * width, hidden.base + token * width)
        let norms = Kernels.dotWide(a, a, count: width) * Kernels.dotWide(b, b, count: width)
        sum += norms > 0 ? Kernels.dotWide(a, b, count: width) / norms.squareRoot() : 0
      }
      return 1 - sum / Double(max(1, tokens))
    }
  }

  private func lookup(_ names: [String]) throws -> TensorLookup {
    TensorLookup(
      try names.compactMap { name in
        try checkpoint.tensor(name).map { try CalibrationSweep.decoded($0) }
      }, path: checkpoint.source.path)
  }

  /// The mean −ln p that a decoder gives a text's tokens.
  static func loss(_ candidate: Checkpoint, on sequences: [[Int]]) throws -> Double {
    guard case .language(let model) = try candidate.makeModel(activations: .f32) else { return 0 }
    var (sum, count) = (0.0, 0)
    for sequence in sequences where sequence.count > 1 {
      let cache = model.makeCache(capacity: sequence.count)
      let logits = model.forward(sequence, cache: cache, logits: .from(0))
      logits.elements.withUnsafeBufferPointer { rows in
        guard let base = rows.baseAddress else { return }
        for place in 0..<sequence.count - 1 {
          let row = base + place * logits.columns
          sum += Kernels.logSumExp(row, count: logits.columns) - Double(row[sequence[place + 1]])
          count += 1
        }
      }
    }
    return sum.isFinite ? sum / Double(max(1, count)) : .infinity
  }
}
