package import Models
import TensorCore

/// The model that a student learns from: its last states, kept for documents that come again.
final class TeacherModel {
  private var graph: LlamaGraph<Float>
  private let weights: NumberBuffer<Float>
  private var kept: [Int: NumberBuffer<Float>] = [:]
  private var room: Int

  /// The number of blocks.
  var blockCount: Int { graph.blocks.count }

  /// The widths of queries and of keys.
  var attentionWidths: [Int] { [graph.queryWidth, graph.keyWidth] }
  /// The heads of queries.
  var headCount: Int { graph.heads }

  /// What a model says about some documents, and what it has inside.
  struct Insight {
    let final: NumberBuffer<Float>
    let taps: [Int: NumberBuffer<Float>]
    let relations: AttentionRows<Float>?
  }

  /// The last states of documents, and others inside the model; nothing is kept.
  func insight(into part: PackedTokens, taps: Set<Int>, relations: Int?) -> Insight {
    let pass = graph.forward(part, weights: weights.base, remembers: false, taps: taps, relations: relations)
    return Insight(final: pass.final, taps: pass.taps, relations: pass.relations)
  }

  var vocabulary: Int { graph.vocabulary }
  var width: Int { graph.width }
  var matrix: UnsafePointer<Float> { UnsafePointer(weights.base + graph.output) }

  /// The teacher of a checkpoint.
  ///
  /// - Parameters:
  ///   - memory: the bytes of states that may be kept.
  ///   - rounds: whether products are of numbers rounded to bfloat16.
  init(_ checkpoint: Checkpoint, memory: Int, rounds: Bool = false) throws {
    guard let architecture = checkpoint.architecture as? LlamaArchitecture else {
      throw TrainingError("a teacher of this architecture is not run here")
    }
    let layout = ParameterLayout(checkpoint)
    graph = try LlamaGraph(architecture.configuration, layout: layout, isTied: checkpoint.isTied)
    graph.rounds = rounds
    weights = try layout.weights(of: checkpoint)
    room = memory
  }

  /// The last states of documents, which have the numbers `documents` in the training text; −1 for a text that is not kept.
  func states(of part: PackedTokens, documents: [Int]) -> NumberBuffer<Float> {
    let result = NumberBuffer<Float>(part.count * width, isZeroed: false)
    let missing = documents.indices.filter { kept[documents[$0]] == nil }
    if !missing.isEmpty {
      let tokens = missing.map { Array(part.tokens[part.documents[$0]]) }
      let pass = graph.forward(PackedTokens(tokens), weights: weights.base, remembers: false)
      var start = 0
      for place in missing {
        let range = part.documents[place]
        let (from, count) = (pass.final.base + start * width, range.count * width)
        (result.base + range.lowerBound * width).update(from: from, count: count)
        start += range.count
        guard documents[place] >= 0, room >= count * 4 else { continue }
        room -= count * 4
        let copy = NumberBuffer<Float>(count, isZeroed: false)
        copy.base.update(from: from, count: count)
        kept[documents[place]] = copy
      }
    }
    let absent = Set(missing)
    for (place, range) in part.documents.enumerated() where !absent.contains(place) {
      guard let states = kept[documents[place]] else { continue }
      (result.base + range.lowerBound * width).update(from: states.base, count: states.count)
    }
    return result
  }
}
