import Models
import TensorCore

/// Compares predictions made of last states with those of the original model.
struct PredictionTest {
  static let embeddingName = "model.embed_tokens.weight"

  private let configuration: LlamaConfiguration
  private let goal: StateStream
  private let norm, matrix: NumberBuffer<Float>

  /// The test of a model's last states.
  init(_ original: Checkpoint, _ configuration: LlamaConfiguration, _ goal: StateStream) throws {
    self.configuration = configuration
    self.goal = goal
    (norm, matrix) = try PredictionTest.output(of: original)
  }

  private static func output(of checkpoint: Checkpoint) throws -> (
    norm: NumberBuffer<Float>, matrix: NumberBuffer<Float>
  ) {
    let name = checkpoint.isTied ? embeddingName : "lm_head.weight"
    guard let norm = checkpoint.tensor("model.norm.weight"), let matrix = checkpoint.tensor(name) else {
      throw TrainingError("the model's output, '\(name)', is missing")
    }
    return (NumberBuffer(try norm.values()), NumberBuffer(try matrix.values()))
  }

  /// The mean KL divergence of a model with these last states from the original, in nats a token.
  func divergence(of own: StateStream, _ checkpoint: Checkpoint) throws -> Double {
    let (norm, matrix) = try PredictionTest.output(of: checkpoint)
    let count = configuration.vocabularySize
    var (sum, tokens) = (0.0, 0)
    for place in goal.documents.indices {
      let rows = goal.documents[place].count
      let wanted = logits(goal.states([place]), rows, self.norm, self.matrix)
      let found = logits(own.states([place]), rows, norm, matrix)
      let losses = NumberBuffer<Double>(rows)
      Parallel.forEach(rows) { row in
        let (x, y) = (wanted.base + row * count, found.base + row * count)
        losses.base[row] = max(
          0,
          Kernels.logDivergence(
            x, xLog: Kernels.logSumExp(x, count: count), y, yLog: Kernels.logSumExp(y, count: count),
            count: count))
      }
      sum += losses.array.reduce(0, +)
      tokens += rows
    }
    return sum / Double(max(1, tokens))
  }

  private func logits(
    _ states: NumberBuffer<Float>, _ rows: Int, _ norm: NumberBuffer<Float>, _ matrix: NumberBuffer<Float>
  ) -> NumberBuffer<Float> {
    let (width, count) = (configuration.hiddenSize, configuration.vocabularySize)
    for row in 0..<rows {
      let line = states.base + row * width
      Kernels.rmsNorm(
        line, weight: norm.base, epsilon: configuration.normEpsilon, into: line, count: width)
    }
    let result = NumberBuffer<Float>(rows * count)
    Float.add(
      TrainingProduct(
        a: (UnsafePointer(states.base), width, 1), b: (UnsafePointer(matrix.base), 1, width), c: result.base,
        row: count, rows: rows, inner: width, columns: count))
    return result
  }
}
