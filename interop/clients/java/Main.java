import java.io.BufferedReader;
import java.io.InputStreamReader;
import software.amazon.awssdk.auth.credentials.AwsCredentials;
import software.amazon.awssdk.auth.credentials.AwsSessionCredentials;
import software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider;
import software.amazon.awssdk.core.exception.SdkClientException;

/** Asks the default credential chain of the Java SDK for credentials, once at start and once per `again` on stdin. */
public final class Main {
    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        try {
            do {
                show();
            } while ("again".equals(lines.readLine()));
            System.exit(0);
        } catch (SdkClientException refused) {
            System.err.println(refused.getMessage());
            System.exit(1);
        }
    }

    /** A chain keeps what it has while it is fresh, so each time there is a new one; the JDK keeps the connection. */
    private static void show() {
        try (DefaultCredentialsProvider chain = DefaultCredentialsProvider.builder().build()) {
            AwsCredentials credentials = chain.resolveCredentials();
            boolean hasToken = credentials instanceof AwsSessionCredentials session && !session.sessionToken().isEmpty();
            System.out.printf(
                    "{\"accessKeyId\":\"%s\",\"hasSecret\":%b,\"hasToken\":%b,\"expiration\":\"%s\"}%n",
                    credentials.accessKeyId(),
                    !credentials.secretAccessKey().isEmpty(),
                    hasToken,
                    credentials.expirationTime().map(Object::toString).orElse(""));
        }
    }
}
