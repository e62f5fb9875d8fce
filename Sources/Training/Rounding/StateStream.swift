import TensorCore

/// States of documents between two blocks, a row a token, the documents one behind the other.
final class StateStream {
  let documents: [[Int]]
  let width: Int
  private let starts: [Int]
  private var states: NumberBuffer<Float>

  /// The rows of an embedding for each document's tokens.
  init(_ documents: [[Int]], embedding: [Float], width: Int) {
    self.documents = documents
    self.width = width
    var (starts, end) = ([Int](), 0)
    for document in documents {
      starts.append(end)
      end += document.count
    }
    self.starts = starts
    states = NumberBuffer(end * width, isZeroed: false)
    var row = states.base
    for token in documents.joined() {
      for place in 0..<width { row[place] = embedding[token * width + place] }
      row += width
    }
  }

  /// The states of some documents, one behind the other.
  func states(_ places: [Int]) -> NumberBuffer<Float> {
    let result = NumberBuffer<Float>(places.reduce(0) { $0 + documents[$1].count * width }, isZeroed: false)
    var target = result.base
    for place in places {
      let count = documents[place].count * width
      target.update(from: states.base + starts[place] * width, count: count)
      target += count
    }
    return result
  }

  /// The documents in parts that run together.
  var parts: [[Int]] { GradientStep<Float>.parts(documents, tokens: 1024) }

  /// The states behind a block.
  func after(_ graph: LlamaGraph<Float>, _ weights: NumberBuffer<Float>) -> StateStream {
    let result = StateStream(self)
    for part in parts {
      let made = graph.forward(
        states(part), PackedTokens(part.map { documents[$0] }), weights: weights.base)
      var source = made.output.base
      for place in part {
        let count = documents[place].count * width
        (result.states.base + starts[place] * width).update(from: source, count: count)
        source += count
      }
    }
    return result
  }

  /// Room for states of the same documents.
  private init(_ other: StateStream) {
    (documents, width, starts) = (other.documents, other.width, other.starts)
    states = NumberBuffer(other.states.count, isZeroed: false)
  }
}
